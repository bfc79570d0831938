// Package podtest has what tests need of pods: drivers whose pods are handlers in the test's own process, for those who call pods,
// and one suite that every real driver must pass, for those who write drivers.
//
// The suite's pods run RunProgram, usually in the test's own binary started again:
//
//	func TestMain(m *testing.M) {
//		if code, ran := podtest.RunProgram(); ran {
//			os.Exit(code)
//		}
//		os.Exit(m.Run())
//	}
package podtest
