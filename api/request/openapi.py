"""Typed handlers for aiohttp, and the OpenAPI 3.1 document that describes them, both from the handlers' own
annotations.

A handler names what it takes in the parameters `path`, `query` and `body`, each a pydantic model, and returns a model,
or a Response where the status is chosen late or the body is written out by hand; then the operation is declared with
the model as its `result`. Every operation declares the least role that may call it; there is no default.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.request.problems import FieldError, Handler, Problem, ProblemError, field_errors

Handle = Callable[..., Awaitable[Any]]
PARTS = ("path", "query", "body")
PERSON = "person"  # the parameter that says whom a request is about
ROLE = "iv3_role"  # attribute of a route's handler that names the least role


@dataclass
class Operation:
    """One method of one path."""

    method: str
    path: str
    handler: Handle
    role: str
    status: int
    tag: str
    errors: tuple[int, ...]
    headers: tuple[tuple[str, str, bool], ...]
    of_person: bool = True  # about one person, whom `?person=` may name
    also: tuple[int, ...] = ()  # other statuses with the same body
    parts: dict[str, TypeAdapter[Any]] = field(default_factory=dict)
    result: TypeAdapter[Any] | None = None


class Routes:
    """Collects operations, which the document lists under `tag`; `add_to` puts them on an application."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.operations: list[Operation] = []

    def route(  # noqa: PLR0913 - an operation is declared in one place
        self,
        method: str,
        path: str,
        *,
        role: str,
        status: int = 200,
        tag: str = "",
        errors: tuple[int, ...] = (),
        headers: tuple[tuple[str, str, bool], ...] = (),
        of_person: bool = True,
        result: type[BaseModel] | None = None,
        also: tuple[int, ...] = (),
    ) -> Callable[[Handle], Handle]:
        """Declare an operation. `headers` are (name, description, required); `result` is the body of a handler that
        returns a Response.
        """

        def declare(handler: Handle) -> Handle:
            hints = typing.get_type_hints(handler, include_extras=True)
            parts = {part: TypeAdapter[Any](hints[part]) for part in PARTS if part in hints}
            body = result or hints.get("return")
            if body is None or (inspect.isclass(body) and issubclass(body, web.StreamResponse)):
                answer = None
            else:
                answer = TypeAdapter[Any](body)
            operation = Operation(
                method, path, handler, role, status, tag or self.tag, errors, headers, of_person, also, parts, answer
            )
            self.operations.append(operation)
            return handler

        return declare

    def add_to(self, app: web.Application) -> None:
        """Serve every operation."""
        for operation in self.operations:
            app.router.add_route(operation.method, operation.path, _served(operation))


def _served(operation: Operation) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        arguments: dict[str, Any] = {}
        bad: list[FieldError] = []
        for part, adapter in operation.parts.items():
            try:
                arguments[part] = await _read(part, adapter, request)
            except ValidationError as error:
                bad += field_errors(error, part)
        if bad:
            first = f"{bad[0].field}: {bad[0].message}"
            raise ProblemError(422, f"The request does not fit: {first}", errors=bad)
        said = await operation.handler(request, **arguments)
        if isinstance(said, web.StreamResponse):
            return said
        return answered(said, operation.status)

    return open_to(operation.role, serve)


def open_to(role: str, handler: Handler) -> Handler:
    """The handler of a route that takes this role at least."""
    setattr(handler, ROLE, role)
    return handler


def answered(body: BaseModel, status: int) -> web.Response:
    """A model as JSON."""
    return web.Response(text=body.model_dump_json(by_alias=True), status=status, content_type="application/json")


async def _read(part: str, adapter: TypeAdapter[Any], request: web.Request) -> Any:  # noqa: ANN401 - what the handler takes
    if part == "path":
        return adapter.validate_python(dict(request.match_info))
    if part == "query":
        keys = (key for key in request.query if key != PERSON)  # who is meant was settled before
        return adapter.validate_python({key: _one(request.query.getall(key)) for key in keys})
    return adapter.validate_json(await request.read())


def _one(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def document(operations: list[Operation], *, title: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    inputs: list[tuple[Any, Any, TypeAdapter[Any]]] = []
    for n, operation in enumerate(operations):
        inputs += [((n, part), "validation", adapter) for part, adapter in operation.parts.items()]
        if operation.result is not None:
            inputs.append(((n, "result"), "serialization", operation.result))
    inputs.append(((-1, "problem"), "serialization", TypeAdapter(Problem)))
    made, definitions = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    schemas = {key[0]: schema for key, schema in made.items()}
    components = definitions.get("$defs", {})
    problem = {"content": {"application/problem+json": {"schema": schemas[-1, "problem"]}}}
    paths: dict[str, dict[str, Any]] = {}
    for n, operation in enumerate(operations):
        mine = {part: schemas[n, part] for part in (*PARTS, "result") if (n, part) in schemas}
        described = _described(operation, mine, components, problem)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _described(
    operation: Operation, schemas: dict[str, Any], components: dict[str, Any], problem: dict[str, Any]
) -> dict[str, Any]:
    summary, _, text = (inspect.getdoc(operation.handler) or "").partition("\n")
    good = {"content": {"application/json": {"schema": schemas["result"]}}} if "result" in schemas else {}
    said = dict.fromkeys((operation.status, *operation.also), good)
    said |= dict.fromkeys(sorted(_failures(operation, schemas)), problem)
    responses = {str(status): {"description": HTTPStatus(status).phrase, **body} for status, body in said.items()}
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": summary,
        "tags": [operation.tag],
        "parameters": _parameters(operation, schemas, components),
        "responses": responses,
        "security": [{"bearer": []}, {"basic": []}],
        "x-role": operation.role,
    }
    if text.strip():
        described["description"] = text.strip()
    if "body" in schemas:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas["body"]}}}
    return described


def _parameters(operation: Operation, schemas: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = [
        {"name": name, "in": "header", "required": required, "description": said, "schema": {"type": "string"}}
        for name, said, required in operation.headers
    ]
    if operation.of_person:
        said = "Whom it is about; default: the first person."
        schema = {"type": "string", "minLength": 1, "maxLength": 80}
        parameters.append({"name": PERSON, "in": "query", "required": False, "description": said, "schema": schema})
    for part in ("path", "query"):
        model = schemas.get(part, {})
        if "$ref" in model:
            model = components[model["$ref"].rpartition("/")[2]]
        for name, shape in model.get("properties", {}).items():
            required = part == "path" or name in model.get("required", ())
            said = shape.get("description", "")
            parameters.append({"name": name, "in": part, "required": required, "schema": shape, "description": said})
    return parameters


def _failures(operation: Operation, schemas: dict[str, Any]) -> set[int]:
    of_person = (404, 422) if operation.of_person else ()
    of_parts = (422,) if operation.parts else ()
    of_body = (413,) if "body" in schemas else ()
    return {401, 403, 408, 503, *operation.errors, *of_person, *of_parts, *of_body}
