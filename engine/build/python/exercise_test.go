package python

import "testing"

// A pod must behave in the same way however its process has come about.

func TestPlainLauncher(t *testing.T) {
	t.Parallel()
	exercise(t, plainly)
}

// exercise holds what w starts to all that the launcher promises.
func exercise(t *testing.T, w way) {
	for name, test := range map[string]func(*testing.T, way){
		"module state and threads live on":                     moduleStateAndThreadsLiveOn,
		"calls run side by side":                               callsRunSideBySide,
		"concurrency is bounded":                               concurrencyIsBounded,
		"returned values":                                      returnedValues,
		"exceptions":                                           exceptions,
		"exception is logged":                                  exceptionIsLogged,
		"context of a call":                                    contextOfACall,
		"example":                                              example,
		"what the runtime answers itself":                      whatTheRuntimeAnswersItself,
		"import error ends the process":                        importErrorEndsTheProcess,
		"handler finds its own files":                          handlerFindsItsOwnFiles,
		"port in place of a socket":                            portInPlaceOfASocket,
		"socket is not handed on":                              socketIsNotHandedOn,
		"stop lets a call finish":                              stopLetsACallFinish,
		"stop closes idle connections":                         stopClosesIdleConnections,
		"nothing is written beside the code":                   nothingIsWrittenBesideTheCode,
		"exception after the first item breaks the connection": exceptionAfterTheFirstItemBreaksTheConnection,
		"items are sent as they come":                          itemsAreSentAsTheyCome,
		"generator is closed when the caller leaves":           generatorIsClosedWhenTheCallerLeaves,
		"large bodies":                                         largeBodies,
		"connections are kept":                                 connectionsAreKept,
		"malformed requests":                                   malformedRequests,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}
