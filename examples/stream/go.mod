module stream

go 1.22
