package auth

// Scopes is the table, for a test that compares it with the service's descriptor.
var Scopes = scopes
