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
	// Desired is how many pods there should be, Draining how many finish their calls and take no more.
	Desired  int `json:"desired,omitempty"`
	Draining int `json:"draining,omitempty"`
	// Frozen pods resume with the next call and hold FrozenBytes meanwhile.
	Frozen      int   `json:"frozen,omitempty"`
	FrozenBytes int64 `json:"frozen_bytes,omitempty"`
	// Waiting counts the calls that wait for a pod, Queued about how many asynchronous ones wait in the queue.
	Waiting int `json:"waiting,omitempty"`
	Queued  int `json:"queued,omitempty"`
	// Serving are the versions that have ready pods; Failed was to serve and did not come up, which LastError explains.
	Serving []uint32 `json:"serving,omitempty"`
	Failed  uint32   `json:"failed,omitempty"`
	// MaxReplicas is the cap of the platform that the engine holds to, LeastScaledownSecs its floor of the scale-down period.
	MaxReplicas        int `json:"max_replicas,omitempty"`
	LeastScaledownSecs int `json:"least_scaledown_secs,omitempty"`
	// LastError says why the last start failed; empty if it did not.
	LastError string `json:"last_error,omitempty"`
}
