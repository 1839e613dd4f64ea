"""The templates of a manifest: JSON, whose texts are Jinja2 for the sandbox."""

from collections.abc import Collection
from typing import Any

from typing_extensions import override

from app.errors import Loc
from app.flows.findings import Findings
from app.flows.grammar.reader import TemplateReader
from app.flows.rendering.jinja import MESSAGES_OF_VALUES, check_syntax, makes_messages
from app.flows.rendering.url_template import url_parts
from app.flows.template import Render, Template
from app.invokers.template_config import config_faults
from app.kit.invalid import InvalidValueError

# The built-in invokers that send a text as it is; all others, Providers too, are models.
_NO_MODELS = ("http", "verbatim")


class ManifestTemplateReader(TemplateReader):
    """Reads the templates of a manifest.

    Args:
        findings: where faults go.
        invokers: names that may be invoked; None for any.
        check_texts: whether to look for faults in Jinja2 texts too.
    """

    def __init__(
        self,
        findings: Findings,
        invokers: Collection[str] | None = None,
        *,
        check_texts: bool = True,
    ) -> None:
        super().__init__(findings)
        self._invokers = invokers
        self._check_texts = check_texts

    def read_all(self, templates: object, loc: Loc) -> dict[str, Template | None]:
        """The template of each state; None for one that is wrong."""
        given = self._findings.mapping(templates, loc)
        return {state: self.read(value, (*loc, state)) for state, value in given.items()}

    @override
    def _bare(self, text: str, loc: Loc) -> Render | None:
        """A text alone is what is rendered."""
        return None if self._text(text, loc) is None else Render(text)

    @override
    def _form(self, value: object, loc: Loc) -> dict[Any, Any] | None:
        if not isinstance(value, dict):
            forms = ", ".join(self._forms)
            self._findings.error(loc, f"must be a text or an object with one of {forms}")
        elif "call" in value:
            self._findings.error((*loc, "call"), "Python is called in code flows only")
        else:
            return value
        return None

    @override
    def _check_text(self, text: str, loc: Loc) -> None:
        for fault in check_syntax(text) if self._check_texts else []:
            self._findings.error(loc, f"line {fault.line}: {fault.message}")

    @override
    def _check_invoker(self, name: str, loc: Loc) -> None:
        if self._invokers is not None and name not in self._invokers:
            known = ", ".join(sorted(self._invokers)[:20])
            self._findings.error(loc, f"there is no invoker {name[:100]!r}; there are {known}")

    @override
    def _check_asked(self, invoker: str, text: object, loc: Loc) -> None:
        is_sent_as_it_is = self._invokers is None or invoker in _NO_MODELS
        if not is_sent_as_it_is and isinstance(text, str) and makes_messages(text):
            self._findings.error(loc, MESSAGES_OF_VALUES)

    @override
    def _check_config(self, invoker: str, config: dict[str, Any], loc: Loc) -> None:
        if self._invokers is None:  # a flow that is stored: some are older than the check
            return
        faults = config_faults(invoker, config)
        for place, message in faults:
            self._findings.error((*loc, *place), message)
        if invoker == "http" and not faults:
            self._check_request(config, loc)

    def _check_request(self, config: dict[str, Any], loc: Loc) -> None:
        """Finds what is wrong with the templates of a request."""
        path = config.get("path", "")
        try:
            url_parts(path)
        except InvalidValueError as error:
            self._findings.error((*loc, "path"), str(error))
        else:
            self._check_text(path, (*loc, "path"))
        for part in ("query", "headers"):
            for name, text in config.get(part, {}).items():
                if isinstance(text, str):
                    self._check_text(text, (*loc, part, name))
