//! What the page says besides figures.

pub(super) const METHOD: &str = "
## What is measured

1,000 clients, one user each, over WebSocket; payloads of 200 bytes to one user after the other; every system
is started anew for each round, warmed up, measured and stopped. A value is the median of the rounds, in
parentheses the lowest and the highest.

| name | what runs |
|---|---|
| herald-embedded | `herald dev`: one process, no Redis |
| herald-*n* | *n* `herald-gateway`, one `herald-notifier`, Redis with `appendonly yes`, `appendfsync everysec`: each notice is stored before it is accepted, and answered with its sessions; gateways with the settings of mimalloc that their image has |
| herald-traced-*n* | the same, every notice traced and all spans exported to a collector |
| herald-sampled-*n* | the same, one notice in a hundred |
| herald-bare-*n* | like herald-*n*, built without any span, log line or metric |
| node-*n* | [bench/node](../bench/node): *n* processes of Socket.IO with `@socket.io/redis-adapter` and the users' socket ids in Redis, and one notifier over gRPC with `@socket.io/redis-emitter`; `perMessageDeflate` off, `ws` with its native masking. Nothing is stored |
| nchan-*n* | *n* nginx, each one worker, with [nchan](../bench/nginx/nchan.conf) in its mode `nostore`; publishers post over HTTP to all of them in turn. Nothing is stored |

- **Delivered/s**: arrivals at clients, with 32 unary calls in flight. Herald and Node are sent to over gRPC.
  *Batches*: 4 calls in flight, each with 100 notices.
- **CPU s per 10,000**: user and system time of all servers, Redis among them, from `/proc`, for 10,000 notices
  that arrived. *load* is what the load generator itself used, which is not in it.
- **Open loop**: each notice has its own time by the schedule, and its latency counts from that time to its
  arrival, whatever the system did meanwhile (no coordinated omission). *late* is how late the load generator
  began its calls, at p99; it is part of the latency, and where it is large the latency is not the system's alone.
- **Sessions**: `herald-loadgen` holds them in four processes, whatever their number, and sends to all of them.
- **Full inboxes** hold 1,000 notices each, their limit, so that every notice pushes an older one out.
- **Missing**: accepted and not arrived 3 s later. *Failed*: not accepted.
- **Idle**: growth of the servers' resident memory, Redis among them, since before the first connection, for
  each of so many connections that are joined and wait. Herald checks a JWT of each (HS256); herald-embedded and the
  others take a client's word. *In the kernel* is the growth of its slab caches and TCP buffers, for both ends
  of a connection since both are here.
";

pub(super) const COMMANDS: &str = "
## Again

```sh
make bench                  # everything of every system in five rounds: about 80 minutes
make bench BENCH=standard   # what the goals speak of: about 20 minutes
make bench BENCH=quick      # a look: some 5 minutes
make overhead               # what telemetry costs, into target/overhead.md: about 5 minutes
```

All that was measured is kept as lines of JSON in `target/bench.jsonl`. With
`HERALD_CLIENT_AUTH=insecure`, on one machine or several:

```sh
herald-loadgen measure --gateway 10.0.0.1:8013,10.0.0.2:8013 --grpc 10.0.0.3:50051 --clients 1000 --in-flight 32
herald-loadgen measure --clients 50000 --processes 4 --sources 4 --rate 5000 --duration 30 --json
```
";
