package harness

// T is the test, or the measurement, that nodes run for: a *testing.T, or what behaves so.
type T interface {
	Helper()
	// Cleanup has f called when the test ends, the last one first.
	Cleanup(f func())
	Log(args ...any)
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Failed() bool
	// FailNow, Fatal, Fatalf and Skipf end the goroutine that runs the test.
	FailNow()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}
