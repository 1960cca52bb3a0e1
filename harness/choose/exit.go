package choose

import "tokentest/harness/usage"

// The values of --exit: what the exit code of a run tells. ExitRecord is for systems that start a job again which did
// not succeed.
const (
	ExitVerdict = "verdict"
	ExitRecord  = "record"
)

// CheckExit refuses a wrong value of --exit. other says that another flag decides the exit code: --bisect or
// --baseline.
func CheckExit(value string, other bool) error {
	switch {
	case value != ExitVerdict && value != ExitRecord:
		return usage.Errorf("--exit %q: must be %s or %s", value, ExitVerdict, ExitRecord)
	case value == ExitRecord && other:
		return usage.Errorf("--exit %s: leave out --bisect and --baseline, which decide the exit code themselves", value)
	}
	return nil
}
