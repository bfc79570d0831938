// Command reverseproxy is Go's own httputil.ReverseProxy and nothing else, for the benchmarks to compare with:
//
//	reverseproxy 127.0.0.1:8081 http://127.0.0.1:8082
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reverseproxy ADDRESS TARGET")
	}
	target, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
		// As many connections stay open as there are callers; with the two that are the default it would mostly dial.
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}
	log.Fatal(http.ListenAndServe(os.Args[1], proxy))
}
