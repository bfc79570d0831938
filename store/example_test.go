package store_test

import (
	"fmt"

	"dodil.io/ignite/store"
)

func ExampleHostLabel() {
	app := store.AppRef{Org: "acme-corp", Name: "reports.v2"}
	for _, port := range []uint32{80, 9000} {
		label, ok := store.HostLabel(app, port)
		fmt.Println(label, ok)
	}
	// Output:
	// reports-dot-v2-acme-corp true
	// reports-dot-v2-acme-corp-9000 true
}
