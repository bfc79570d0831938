package pod

// CensusTopic is where every engine listens (stream.Answer) for a CensusRequest and answers it with a Census, both as JSON.
// A gateway asks there because only an engine knows its pods.
const CensusTopic = "app-state"

// CensusRequest asks for the pods of one app.
type CensusRequest struct {
	Org string `json:"org"`
	App string `json:"app"`
}

// Census counts the pods of one app that one engine has.
type Census struct {
	Ready    int `json:"ready"`
	Starting int `json:"starting"`
	// InFlight counts the calls that are in pods now.
	InFlight int `json:"in_flight"`
	// LastError says why the last start failed; empty if it did not.
	LastError string `json:"last_error,omitempty"`
}
