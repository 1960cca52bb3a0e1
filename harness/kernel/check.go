package kernel

import "context"

// CheckSource returns a *UsageError if ref names a source that does not exist, as far as that can be seen
// without fetching anything: a directory, a revision or a patch.
func CheckSource(ctx context.Context, ref string) error {
	s, err := parseSource(ref)
	if err != nil || s.scheme != "git" {
		return err
	}
	_, err = commitOf(ctx, ref, s.name, s.rev)
	return err
}
