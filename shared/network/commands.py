"""`album network …`: two commands to join, one to admit; new keys, suspension, departure; how things stand."""

import typer

from shared.network import commands_of_members, commands_of_office
from shared.network.hub.commands import acl_command

network = typer.Typer(no_args_is_help=True, help="Who takes part in the network, each on a node of its own.")

network.command("invite")(commands_of_office.invite)
network.command("join")(commands_of_members.join)
network.command("requests")(commands_of_office.requests)
network.command("admit")(commands_of_office.admit)
network.command("rotate")(commands_of_members.rotate)
network.command("revoke")(commands_of_office.revoke)
network.command("suspend")(commands_of_office.suspend)
network.command("reinstate")(commands_of_office.reinstate)
network.command("leave")(commands_of_office.leave)
network.command("status")(commands_of_members.status)
network.command("verify")(commands_of_members.verify)
network.command("acl")(acl_command)
