// An HTTP server without dependencies. It knows nothing of Ignite: it listens on $PORT, says at /healthz that it is ready, and lets
// running answers finish after TERM.
import { createServer } from "node:http";

const port = Number(process.env.PORT ?? 8000);
const pause = Number(process.env.PAUSE_MS ?? 200);
const maxBody = 64 * 1024;

const routes = {
  "GET /healthz": (request, response) => text(response, 200, "ok\n"),
  "GET /": (request, response) => text(response, 200, "POST / greets; GET /events counts, as server-sent events.\n"),
  "POST /": greet,
  "GET /events": events,
};

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://app");
  const route = routes[`${request.method} ${pathname}`];
  if (!route) return text(response, 404, "there is nothing here\n");
  Promise.resolve(route(request, response)).catch((error) => {
    console.error(error);
    if (response.headersSent) return response.destroy();
    text(response, 500, "it failed; the log says why\n");
  });
});

async function greet(request, response) {
  const body = await read(request);
  let name = "world";
  try {
    if (body) name = JSON.parse(body).name ?? name;
  } catch {
    return text(response, 400, 'the body is not of the form {"name": "Ada"}\n');
  }
  response.writeHead(200, { "Content-Type": "application/json" });
  response.end(JSON.stringify({ message: `Hello, ${name}!`, execution_id: request.headers["x-ignite-execution-id"] }) + "\n");
}

async function read(request) {
  const pieces = [];
  let size = 0;
  for await (const piece of request) {
    if ((size += piece.length) > maxBody) throw new Error(`the body is larger than ${maxBody} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

// events sends ?count=N events (5), each when it is due. A caller who leaves ends them.
function events(request, response) {
  const wanted = Number(new URL(request.url, "http://app").searchParams.get("count") ?? 5);
  if (!(wanted >= 1 && wanted <= 10_000)) return text(response, 400, "count is between 1 and 10000\n");
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  let sent = 0;
  const send = () => {
    response.write(`id: ${++sent}\ndata: {"count": ${sent}}\n\n`);
    if (sent < wanted) return;
    clearInterval(timer);
    response.end();
  };
  const timer = setInterval(send, pause);
  response.on("close", () => clearInterval(timer));
  send();
}

function text(response, status, body) {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" });
  response.end(body);
}

server.listen(port, () => console.log(`listening on ${port}`));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
