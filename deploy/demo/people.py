"""The people of the demo: made up, with the languages of the courses."""

from dataclasses import dataclass

_NAMES = (
    "Amira Haddad", "Yusuf Kaya", "Olena Bondar", "Samuel Tesfay", "Leyla Demir", "Farid Nazari", "Mina Karimi",
    "Ivan Petrov", "Sofia Popescu", "Ahmad Saleh", "Nour Khalil", "Elif Yilmaz", "Daniel Mensah", "Rana Aziz",
    "Tomas Novak", "Grace Okafor", "Karim Bakr", "Zeynep Arslan", "Hanna Levi", "Omar Farah", "Lina Schulz",
    "Bilal Ozturk", "Maria Santos", "Jamal Idris", "Aylin Sahin",
)  # fmt: skip
_LANGUAGES = ("ar", "tr", "en", "de")


@dataclass(frozen=True)
class Person:
    """Somebody who learns or attends."""

    name: str
    mail: str
    language: str


def people(count: int, house: str) -> list[Person]:
    """Give as many people as are wanted, each with an address of their own."""
    found = []
    for number in range(count):
        name = _NAMES[number % len(_NAMES)]
        address = f"{name.split()[0].lower()}.{number}@{house}.example"
        found.append(Person(name, address, _LANGUAGES[number % len(_LANGUAGES)]))
    return found
