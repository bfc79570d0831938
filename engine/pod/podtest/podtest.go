// Package podtest has what tests need of pods: drivers whose pods are handlers in the test's own process, for those who call pods,
// and one suite that every real driver must pass, for those who write drivers.
package podtest
