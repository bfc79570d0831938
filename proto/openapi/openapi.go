// Package openapi carries the OpenAPI document that is generated from the .proto files beside it.
package openapi

import _ "embed" // for the document

// Document is OpenAPI 2.0, as JSON. Callers must not change it.
//
//go:embed ignite.swagger.json
var Document []byte
