module go-function

go 1.26.0

require dodil.io/ignite v0.0.0

// For tests and for editors in this checkout; the server puts its own in this place.
replace dodil.io/ignite => ../..
