"""The hub reads its access rules anew."""

from redis.asyncio import Redis


async def read_rules(redis: Redis) -> None:
    """Have the hub read its file of rules; raises ResponseError, and keeps the rules from before, if it cannot.

    A Redis 7.0 then ends the connections of all users, whoever has changed: this one is opened anew, members come
    back by themselves. So the rules are read only when they differ.
    """
    await redis.acl_load()
    await redis.connection_pool.disconnect()
