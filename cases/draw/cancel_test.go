package draw

import (
	"context"
	"errors"
	"testing"
	"time"

	"tokentest/cases"
)

// TestCancelled: what draws or shrinks cases ends with its context, and says
// why that has ended.
func TestCancelled(t *testing.T) {
	why := errors.New("the user has had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for name, do := range map[string]func() error{
		"Add": func() error { _, _, err := Add(ctx, &cases.Corpus{}, 1, 1<<30); return err },
		"Shrink": func() error {
			k := Shrinker{Facts: cases.FactsAt(tokenReleases()[0]), Rounds: 1, Width: 1}
			_, _, _, _, err := k.Shrink(ctx, Sketch{lines: [][]string{{"owner", "map_create", "type=hash"}}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			go func() { ended <- do() }()
			select {
			case err := <-ended:
				if !errors.Is(err, why) {
					t.Errorf("got %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("the work continues after the cancellation")
			}
		})
	}
}
