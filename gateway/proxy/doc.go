// Package proxy passes an HTTP request on to a server, and its answer back.
//
// It does what httputil.ReverseProxy does, for callers of HTTP/1.1 and HTTP/2 and servers of HTTP/1.1, with less work for each call:
//
//	            ┌────────────── Serve, the caller's own goroutine ──────────────┐
//	caller ───► │ take a connection ─► write head and body ─► read head, copy ──│──► caller
//	            └──────────────┬───────────────▲────────────────────────────────┘
//	                           │ pump: only a body that is long, or of unknown length
//	                           └───────► server
//
// A connection has no goroutines of its own, unlike one of http.Transport: the goroutine that serves the caller writes and reads it. What
// has to end a call from outside (the caller leaves, its time is over, its server goes out of service) sets the deadlines of the
// connection. Headers are written straight from the caller's request, and never copied.
//
// gRPC goes through an http.Transport that speaks HTTP/2 in the clear.
//
// # Promises
//
// Method, path, query, body and end-to-end headers arrive byte for byte, repeated headers in their order. What speaks about one connection
// is left out (RFC 9110, 7.6.1), except Upgrade and TE: trailers, which are for the server.
//
// The caller's Expect: 100-continue waits for the server's 100. Other interim answers (103) pass as they come.
//
// Every piece of an answer that the server flushed is passed on before the next is waited for. Bodies flow both ways at once; neither
// is ever held as a whole.
//
// A request is sent twice only if it was without a body, of a method that may be repeated, and the connection turned out to be closed
// before a byte of an answer came.
package proxy
