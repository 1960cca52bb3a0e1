package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/wire"
	"tokentest/images"
)

// ByHand returns the files with which a person can run the cases in a shell of the
// guest, each by wire.CaseCommand.
func ByHand(list []*cases.Case) ([]File, error) {
	out := []File{{To: "/bin/" + wire.CaseCommand, link: "/init"}}
	for _, c := range list {
		text, err := json.Marshal(wire.ByHand{
			World: wire.EncodeProgram(&c.World.Program),
			Cells: wire.EncodeCells(&wire.Cells{Cells: []step.Cell{c.Cell()}}),
			Setup: words(c.World.Info), Steps: words(c.Info()),
		})
		if err != nil {
			return nil, fmt.Errorf("encode the case %s: %w", c.ID, err)
		}
		out = append(out, File{To: filepath.Join(wire.CaseDir, c.ID), data: text, size: int64(len(text))})
	}
	return out, nil
}

func words(steps []cases.StepInfo) []string {
	out := make([]string, len(steps))
	for i := range steps {
		out[i] = steps[i].Text
	}
	return out
}

// withShell adds u-root's shell and commands to the trial's image.
func (t *trial) withShell(ctx context.Context) error {
	img, err := images.WithShell(ctx, t.image, t.lab.imageOptions(t.kernel.Arch))
	if err != nil {
		return err
	}
	t.image = img
	return nil
}
