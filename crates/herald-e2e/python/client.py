"""The official Python client, saying all that happens to it.

The first argument is a JSON object: {url, path, namespace, transports, auth, resume}; with `resume`
each handshake hands in the newest cursor. What happens is said in lines of JSON (connect, event,
connect_error, disconnect; refused when it gave up), commands come in lines of JSON (close; emit with
event and args), and the end of standard input is the end.
"""

import asyncio
import json
import sys

import socketio


def say(kind, **fields):
    print(json.dumps({"type": kind, **fields}), flush=True)


async def main():
    config = json.loads(sys.argv[1])
    namespace = config["namespace"]
    auth = dict(config.get("auth") or {})
    client = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=1)

    async def connect():
        say("connect", id=client.get_sid(namespace), transport=client.transport())

    async def connect_error(data):
        say("connect_error", message=data["message"] if isinstance(data, dict) else str(data))

    async def disconnect(reason):
        say("disconnect", reason=str(reason))

    async def event(name, *args):
        if name == "herald:ready":
            auth["cursor"] = args[0]["cursor"]
        elif len(args) > 1:
            auth["cursor"] = args[1]["cursor"]
        say("event", event=name, args=args)

    client.on("connect", connect, namespace=namespace)
    client.on("connect_error", connect_error, namespace=namespace)
    client.on("disconnect", disconnect, namespace=namespace)
    client.on("*", event, namespace=namespace)

    try:
        await client.connect(
            config["url"],
            socketio_path=config["path"],
            namespaces=[namespace],
            transports=config.get("transports"),
            auth=(lambda: auth) if config.get("resume") else config.get("auth"),
            wait_timeout=10,
        )
    except socketio.exceptions.ConnectionError as error:
        say("refused", message=str(error))
        return

    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        if command["do"] == "emit":
            await client.emit(command["event"], tuple(command["args"]), namespace=namespace)
        elif command["do"] == "close":
            break
    await client.disconnect()


asyncio.run(main())
