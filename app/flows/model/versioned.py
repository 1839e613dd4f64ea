"""Models that are stored as bytes with their schema version, and are upgraded when read back."""

from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.main import IncEx
from pydantic_core import PydanticSerializationError, from_json, to_json

from app.errors import DefinitionMismatchError, public_text
from app.flows.model.codec import compress, content_size, decompress
from app.kit.invalid import InvalidValueError
from app.sizes.limit import SizeLimit, check_value_count


class SerializationError(DefinitionMismatchError):
    """A value cannot be stored, or stored bytes do not fit the class; names no stored value."""


class VersionedModel(BaseModel):
    """Base of everything a session stores by itself.

    Raise `schema_version` when stored data of the older shape no longer fits, and override
    `upgrade_schema` to lead the older shapes to the new one.
    """

    # What JSON has no form for (bytes, infinity, NaN) must come back as it was.
    model_config = ConfigDict(
        ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants"
    )

    schema_version: ClassVar[int] = 0

    def serialize(
        self,
        compression: bool = False,
        include: IncEx | None = None,
        exclude: IncEx | None = None,
        *,
        max_values: int | None = None,
    ) -> bytes:
        """Gives `b"<schema version>:<0|1>:<payload>"`: JSON, as a zstandard frame if compressed.

        Args:
            compression: whether to compress the payload.
            include: only these fields; computed fields are stored only if named here.
            exclude: all but these fields.
            max_values: most values that it may have in all; None for any number.

        Raises:
            SerializationError: a field holds something that its own type does not allow.
            SizeLimitError: it is more than could be read back in reasonable time.
        """
        payload = self._to_json(include, exclude)
        what = f"The session's {type(self).__name__}"
        SizeLimit(what).add(len(payload))
        if max_values is not None:
            check_value_count(what, payload, max_values)
        if compression:
            return b"%d:1:%b" % (self.schema_version, compress(payload))
        return b"%d:0:%b" % (self.schema_version, payload)

    @classmethod
    def deserialize(cls, data: bytes) -> Self:
        """Reads back what `serialize` gave, of this schema version or an older one.

        Raises:
            SerializationError: the bytes are damaged, or of a version that cannot be upgraded.
        """
        version, payload = cls._open(data)
        if version != cls.schema_version:
            payload = cls._upgrade(version, payload)
        try:
            return cls.__pydantic_validator__.validate_json(payload)  # type: ignore[no-any-return]  # typed as Any
        except ValidationError as error:
            # Neither the text nor the chain of pydantic's error may leave: it quotes the values.
            raise cls._unreadable(f"does not fit its fields: {_places(error)}") from None

    @staticmethod
    def stored_size(data: bytes) -> int:
        """How many bytes `serialize` gave before they were compressed."""
        _, _, rest = data.partition(b":")
        flag, _, payload = rest.partition(b":")
        return content_size(payload) if flag == b"1" else len(payload)

    @classmethod
    def upgrade_schema(
        cls,
        from_version: int,
        data: dict[str, Any],  # noqa: ARG003 - for those who override this
    ) -> dict[str, Any]:
        """Leads data of an older version to the current one; override it with `schema_version`.

        Args:
            from_version: the version that the data was stored with; always older.
            data: the stored JSON object.

        Raises:
            InvalidValueError: there is no way from that version; clients may read the text.
        """
        raise InvalidValueError(f"there is no upgrade from {from_version}")

    def _to_json(self, include: IncEx | None, exclude: IncEx | None) -> bytes:
        computed = self.__class__.model_computed_fields.keys()
        named = computed & set(include or ())
        if named:
            exclude = _merged(exclude, computed - named)
        try:
            return self.__pydantic_serializer__.to_json(
                self,
                include=include,
                exclude=exclude,
                exclude_computed_fields=not named,
                # A value of the wrong type must fail here, where nothing is lost yet.
                warnings="error",
            )
        except (PydanticSerializationError, RecursionError):
            name = type(self).__name__
            raise SerializationError(f"{name} holds a value that its fields do not allow") from None

    @classmethod
    def _open(cls, data: bytes) -> tuple[int, bytes]:
        version, _, rest = data.partition(b":")
        flag, _, payload = rest.partition(b":")
        if not (version.isdigit() and len(version) < 10 and flag in (b"0", b"1")):  # noqa: PLR2004 - fits an int4
            raise cls._unreadable("has no valid header")
        if flag == b"0":
            return int(version), payload
        try:
            return int(version), decompress(payload)
        except InvalidValueError as error:
            raise cls._unreadable(f"cannot be decompressed: {error}") from None

    @classmethod
    def _upgrade(cls, version: int, payload: bytes) -> bytes:
        mismatch = (
            f"{cls.__name__} is stored with schema version {version}, not {cls.schema_version}"
        )
        if version > cls.schema_version:
            raise SerializationError(f"{mismatch}: it was written by a newer release")
        try:
            data = from_json(payload)
        except ValueError:
            raise cls._unreadable("is not JSON") from None
        if not isinstance(data, dict):
            raise cls._unreadable("is not a JSON object")
        try:
            return to_json(cls.upgrade_schema(version, data))
        except Exception as error:  # a user's code, on data of any older shape
            raise SerializationError(
                f"{mismatch}, and cannot be upgraded: {public_text(error)}"
            ) from error

    @classmethod
    def _unreadable(cls, reason: str) -> SerializationError:
        return SerializationError(f"The stored {cls.__name__} {reason}")


def _merged(exclude: IncEx | None, names: set[str]) -> IncEx:
    if isinstance(exclude, dict):
        return {**exclude, **dict.fromkeys(names, True)}
    return {*(exclude or ()), *names}


def _places(error: ValidationError) -> str:
    """The fields at fault, by name: what they hold is not shown."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    names = {str(fault["loc"][0]) if fault["loc"] else fault["type"] for fault in faults}
    return ", ".join(sorted(names)[:10])


_registered: dict[str, type[VersionedModel]] = {}

ModelT = TypeVar("ModelT", bound=VersionedModel)


def register_model(cls: type[ModelT]) -> type[ModelT]:
    """Lets a class be made from stored bytes that name it; usable as a decorator.

    Raises:
        ValueError: another class has the name.
    """
    if _registered.setdefault(cls.__name__, cls) is not cls:
        raise ValueError(f"two models are named {cls.__name__}")
    return cls


def registered_model(name: str) -> type[VersionedModel]:
    """The registered class of that name.

    Raises:
        SerializationError: there is none; nothing is ever imported for a stored name.
    """
    try:
        return _registered[name]
    except KeyError:
        raise SerializationError(f"No model is registered as {name[:100]!r}") from None
