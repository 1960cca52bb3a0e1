package runs

import (
	"errors"
	"fmt"

	"github.com/hashicorp/go-multierror"

	"tokentest/harness/result"
)

// Untried returns why kernels could not be tried, and whether any kernel was tried. If every
// reference is wrong, that is the user's mistake and not the host's.
func Untried(r *result.Run) (why error, tried bool) {
	var host, user *multierror.Error
	for _, k := range r.Kernels {
		switch {
		case k.Cause != nil:
			user = multierror.Append(user, k.Cause)
		case k.Error != "":
			host = multierror.Append(host, fmt.Errorf("%s: %s", k.Ref, k.Error))
		default:
			tried = true
		}
	}
	if host == nil {
		return user.ErrorOrNil(), tried
	}
	for _, e := range user.WrappedErrors() { // no longer a mistake that decides the exit code
		host = multierror.Append(host, errors.New(e.Error()))
	}
	return host, tried
}
