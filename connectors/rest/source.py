"""Reads what an `Api` says: streams, their columns, and what is true after each batch.

Laws:

* An incremental read begins at its watermark, not after it; the writer keeps one of each.
* A state is told on the way only where the provider hands records over in the order of
  their cursor. Else it is told at the end, when everything has come.
* A watermark comes from records that were handed over, and never lies in the future.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import islice

from connectors.contract import Batch, Encoding, Selection, State, Stream
from connectors.errors import ConfigError, ContractError
from connectors.http.addresses import Resolve, system_resolve
from connectors.http.call import Call
from connectors.http.client import HttpClient
from connectors.http.outside import Outside
from connectors.http.redact import shown_url
from connectors.rest.asking import Asking
from connectors.rest.auth import OAuth2
from connectors.rest.columns import Column, Kind
from connectors.rest.infer import infer
from connectors.rest.marks import Marks
from connectors.rest.reading import Reading
from connectors.rest.records import Record
from connectors.rest.spec import Api, StreamSpec
from connectors.rest.walk import Walk
from connectors.surroundings import Surroundings

SAMPLED_PARTS = 100
"""Pages, or parents, that are looked through for a first record."""


@dataclass(slots=True, kw_only=True)
class Connected:
    """An API as it is spoken to. ``resolve`` and ``outside`` are what a test replaces."""

    api: Api
    outside: Outside = field(default_factory=Outside)
    resolve: Resolve = system_resolve
    _surroundings: Surroundings = field(default_factory=Surroundings, init=False)
    _client: HttpClient | None = field(default=None, init=False, repr=False)

    def surround(self, surroundings: Surroundings) -> None:
        """See `Surrounded.surround`."""
        self._surroundings = surroundings

    @property
    def client(self) -> HttpClient:
        """The connection's client; made when first asked for, and again after an interruption."""
        if self._client is None:
            self._client = open_client(
                self.api, self._surroundings, outside=self.outside, resolve=self.resolve
            )
        return self._client

    def interrupt(self) -> None:
        """Make a read that waits in another thread end in an error."""
        client, self._client = self._client, None
        if client is not None:
            client.stop()

    def close(self) -> None:
        """Release connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


@dataclass(slots=True, kw_only=True)
class RestSource(Connected):
    """A provider as a source."""

    _columns: dict[str, tuple[Column, ...]] = field(default_factory=dict, init=False)

    def check(self) -> str:
        """Ask for something small, and say who answered."""
        spec = self.api.streams[0]
        if self.api.check is not None:
            self.client.send(Call(path=self.api.check))
        elif spec.parent is None:
            Walk(self.client, spec).first(
                Call(path=spec.path, headers=spec.headers).put(spec.params)
            )
        return f"{self.api.title} at {shown_url(self.api.base_url)}"

    def discover(self) -> Sequence[Stream]:
        """Every stream, ordered by name; one whose columns cannot be told yet says so."""
        found = []
        for spec in sorted(self.api.streams, key=lambda one: one.name):
            columns = self._known(spec)
            note = spec.note if columns else _nothing_to_infer(spec.name)
            found.append(replace(spec, note=note).described(columns or _assumed(spec)))
        return found

    def stream(self, name: str) -> Stream:
        """One stream."""
        spec = self._spec(name)
        columns = self._known(spec)
        if not columns:
            raise ConfigError(_nothing_to_infer(name))
        return spec.described(columns)

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records after ``state``; nothing is asked of the provider before the first."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"this source does not speak {encoding}")
        spec = self._spec(selection.stream.name)
        reading = Reading(
            client=self.client,
            specs=self._specs,
            spec=spec,
            selection=selection,
            known=lambda name: self._known(self._spec(name)),
        )
        yield from reading.batches(state)

    def _spec(self, name: str) -> StreamSpec:
        names = [spec.name for spec in self.api.streams]
        if name not in names:
            near = get_close_matches(name, names, n=3)
            hint = (
                f"did you mean {' or '.join(repr(one) for one in near)}?"
                if near
                else f"there are: {', '.join(sorted(names))}"
            )
            raise ConfigError(f"there is no stream {name!r}; {hint}")
        return self.api.streams[names.index(name)]

    def _known(self, spec: StreamSpec) -> tuple[Column, ...]:
        """The stream's columns, declared or inferred once; none where there are no records."""
        if spec.columns is not None:
            return spec.columns
        if spec.name not in self._columns:
            cursor = spec.cursor_field
            found = infer(self._sample(spec), instants=(cursor,) if cursor else ())
            if not found:
                return ()
            self._columns[spec.name] = found
        return self._columns[spec.name]

    def _sample(self, spec: StreamSpec) -> Sequence[Record]:
        """The first records there are; of a nested stream, those of the first parents."""
        asking = Asking(client=self.client, specs=self._specs, marks=Marks({}))
        plain = replace(spec, incremental=None)
        with closing(asking.parts(plain)) as parts:
            for part in islice(parts, SAMPLED_PARTS):
                if part.records:
                    return part.records
        return ()

    @property
    def _specs(self) -> Mapping[str, StreamSpec]:
        return {spec.name: spec for spec in self.api.streams}


def open_client(
    api: Api,
    surroundings: Surroundings,
    *,
    outside: Outside | None = None,
    resolve: Resolve = system_resolve,
) -> HttpClient:
    """A client for a provider, as a source or a destination uses it."""
    outside = outside or Outside()
    auth = api.auth
    if isinstance(auth, OAuth2) and not surroundings.allow_private:
        auth = replace(auth, app=replace(auth.app, allow_private=False))
    return HttpClient(
        base_url=api.base_url,
        signer=auth.signer(surroundings.tokens, outside),
        limits=api.limits,
        headers=api.headers,
        budget=surroundings.budget,
        allow_private=api.allow_private and surroundings.allow_private,
        judge=api.judge,
        outside=outside,
        resolve=resolve,
    )


def _assumed(spec: StreamSpec) -> Sequence[Column]:
    """Columns of a stream of which no record has been seen."""
    cursor = spec.cursor_field
    named = dict.fromkeys((*spec.primary_key, *((cursor,) if cursor else ())))
    return [
        Column(name=name, kind=Kind.TIMESTAMP if name == cursor else Kind.TEXT) for name in named
    ]


def _nothing_to_infer(stream: str) -> str:
    return (
        f"stream {stream!r} has no records yet from which its columns could be inferred; "
        "declare its columns, or run it again when there are some"
    )
