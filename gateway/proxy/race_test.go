//go:build race

package proxy_test

// gigabyte is less where every byte is watched.
const gigabyte = 64 << 20
