//go:build !race

package proxy_test

const gigabyte = 1 << 30
