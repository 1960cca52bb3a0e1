package cli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

func TestChanged(t *testing.T) {
	flags := func() *pflag.FlagSet {
		fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
		fs.String("format", "", "")
		fs.String("baseline", "", "")
		fs.StringSlice("fail-on", nil, "")
		fs.String("resume", "", "")
		fs.Int("jobs", 0, "")
		return fs
	}
	fs := flags()
	line := []string{"--format", "tap", "--baseline", "b", "--fail-on", "fail,broken", "--resume", "r", "--jobs", "2"}
	if err := fs.Parse(line); err != nil {
		t.Fatal(err)
	}
	set, refused, err := Changed(fs, []string{"format", "baseline", "fail-on"}, []string{"resume"}, []string{"baseline"})
	here, _ := os.Getwd()
	want := []Override{{"baseline", filepath.Join(here, "b")}, {"fail-on", "fail,broken"}, {"format", "tap"}}
	if err != nil || !slices.Equal(set, want) || !slices.Equal(refused, []string{"--jobs"}) {
		t.Errorf("set %v, refused %v, %v", set, refused, err)
	}
	to := flags()
	if err := Apply(to, set); err != nil {
		t.Fatal(err)
	}
	if list, _ := to.GetStringSlice("fail-on"); !slices.Equal(list, []string{"fail", "broken"}) {
		t.Errorf("got %q", list)
	}
	if err := Apply(to, []Override{{"jobs", "many"}}); err == nil {
		t.Error("a value that is no number was taken")
	}
}
