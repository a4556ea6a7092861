"""The connector ``rest_api``: any JSON API, described by its tenant."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from connectors.contract import Source
from connectors.http.redact import shown_url
from connectors.registry import Connector
from connectors.rest import config as said
from connectors.rest.config import RestApiConfig

if TYPE_CHECKING:
    from connectors.http.oauth import App
    from connectors.rest.auth import Auth
    from connectors.rest.columns import Column, Kind
    from connectors.rest.pages import Counted, Pages
    from connectors.rest.spec import Api, StreamSpec


def _source(config: RestApiConfig) -> Source:
    from connectors.rest.source import RestSource

    return RestSource(api=api_of(config))


def api_of(config: RestApiConfig) -> Api:
    """The spec that a configuration stands for."""
    from connectors.http.client import Limits
    from connectors.rest.spec import Api
    from connectors.surroundings import Rate

    rate = None
    if config.rate is not None:
        per = timedelta(seconds=config.rate.per_seconds)
        rate = Rate(calls=config.rate.calls, per=per)
    return Api(
        title="REST API",
        base_url=config.base_url,
        streams=tuple(_stream(stream) for stream in config.streams),
        auth=_auth(config),
        limits=Limits(
            rate=rate,
            concurrency=config.concurrency,
            together=config.concurrency if "concurrency" in config.model_fields_set else None,
            tries=config.tries,
            connect_seconds=config.connect_seconds,
            read_seconds=config.read_seconds,
            answer_bytes=config.max_answer_mb * 1024 * 1024,
            pages=config.max_pages,
        ),
        headers=tuple(config.headers.items()),
        check=config.check_path,
        allow_private=config.allow_private_addresses,
    )


def _stream(stream: said.StreamConfig) -> StreamSpec:
    from connectors.rest.incremental import Incremental
    from connectors.rest.spec import Parent, StreamSpec

    asked, above = stream.incremental, stream.parent
    return StreamSpec(
        name=stream.name,
        path=stream.path,
        records=stream.records,
        primary_key=stream.primary_key,
        columns=None
        if stream.columns is None
        else tuple(_column(name, column) for name, column in stream.columns.items()),
        pages=_pages(stream.pages),
        incremental=None
        if asked is None
        else Incremental(
            field=asked.field,
            param=asked.param,
            until_param=asked.until_param,
            spelling=asked.spelling,
            pattern=asked.pattern,
            until_pattern=asked.until_pattern,
            exclusive=asked.exclusive,
            resolution=asked.resolution,
            ordered=asked.ordered,
            lag=timedelta(seconds=asked.lag_seconds),
            params=asked.params,
        ),
        params=stream.params,
        headers=tuple(stream.headers.items()),
        parent=None
        if above is None
        else Parent(
            stream=above.stream,
            copy=above.copied,
            inside=above.inside,
            cursor=above.cursor,
            having=above.having,
        ),
    )


def _column(name: str, column: Kind | said.ColumnConfig) -> Column:
    from connectors.rest.columns import Column

    if isinstance(column, said.ColumnConfig):
        return Column(name=name, kind=column.kind, path=column.path)
    return Column(name=name, kind=column)


def _pages(pages: said.PagesConfig) -> Pages:
    from connectors.rest import pages as ways

    match pages:
        case said.NumberConfig():
            return ways.NumberedPages(
                size=pages.size,
                page_param=pages.page_param,
                size_param=pages.size_param,
                start=pages.start,
                total=_counted(pages),
                short_ends=pages.short_ends,
            )
        case said.OffsetConfig():
            return ways.OffsetPages(
                size=pages.size,
                offset_param=pages.offset_param,
                size_param=pages.size_param,
                start=pages.start,
                total=_counted(pages),
                short_ends=pages.short_ends,
            )
        case said.CursorConfig():
            return ways.CursorPages(**pages.model_dump(exclude={"kind"}))
        case said.LinkConfig():
            return ways.LinkedPages(**pages.model_dump(exclude={"kind"}))
        case said.KeysetConfig():
            return ways.KeysetPages(**pages.model_dump(exclude={"kind"}))
        case said.OnePageConfig():
            return ways.OnePage()


def _counted(pages: said.NumberConfig | said.OffsetConfig) -> Counted:
    from connectors.rest.pages import Counted

    return Counted(header=pages.total_header, path=pages.total_path, pages=pages.total_is_pages)


def _auth(config: RestApiConfig) -> Auth:
    from connectors.rest import auth as ways

    auth = config.auth
    match auth:
        case said.NoAuthConfig():
            return ways.NoAuth()
        case said.BasicConfig():
            return ways.BasicAuth(user=auth.user, password=auth.password.get_secret_value())
        case said.BearerConfig():
            return ways.BearerAuth(token=auth.token.get_secret_value())
        case said.HeaderKeyConfig():
            return ways.HeaderKeyAuth(header=auth.header, key=auth.key.get_secret_value())
        case said.QueryKeyConfig():
            return ways.QueryKeyAuth(param=auth.param, key=auth.key.get_secret_value())
        case said.OAuth1Config():
            return ways.OAuth1(key=auth.key, secret=auth.secret.get_secret_value())
        case said.OAuth2Config():
            refresh = auth.refresh_token
            return ways.OAuth2(
                app=_app(auth, allow_private=config.allow_private_addresses),
                refresh_token=None if refresh is None else refresh.get_secret_value(),
                as_client=auth.grant == "client_credentials",
            )


def _app(auth: said.OAuth2Config, *, allow_private: bool) -> App:
    from connectors.http.oauth import App

    secret = auth.client_secret
    return App(
        token_url=auth.token_url,
        authorize_url=auth.authorize_url,
        client_id=auth.client_id,
        client_secret=None if secret is None else secret.get_secret_value(),
        scopes=auth.scopes,
        credentials=auth.credentials,
        allow_private=allow_private,
    )


def _oauth(config: RestApiConfig) -> App | None:
    if not isinstance(config.auth, said.OAuth2Config) or config.auth.authorize_url is None:
        return None
    return _app(config.auth, allow_private=config.allow_private_addresses)


CONNECTOR = Connector(
    name="rest_api",
    title="REST API (any JSON API, by configuration)",
    config=RestApiConfig,
    source=_source,
    place=lambda config: shown_url(config.base_url).rstrip("/"),
    oauth=_oauth,
)
