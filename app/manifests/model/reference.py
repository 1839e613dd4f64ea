"""References between resources: what one names must be there, and stays as long as it is named."""

from dataclasses import dataclass

from app.errors import Loc


@dataclass(frozen=True, slots=True)
class Reference:
    """A resource that a spec names.

    Attributes:
        kind: of the resource that is named.
        name: its name; of an entity, its id.
        path: where in the manifest it is named.
        must_exist: whether an apply is refused when it is not there.
        or_else: (kind, name) of what may be there in its place.
    """

    kind: str
    name: str
    path: Loc
    must_exist: bool = True
    or_else: tuple[tuple[str, str], ...] = ()

    @property
    def candidates(self) -> tuple[tuple[str, str], ...]:
        """(kind, name) of each resource that the name may stand for."""
        return ((self.kind, self.name), *self.or_else)
