package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"tokentest/harness/usage"
)

// Override is a flag and the value that replaces its own.
type Override struct{ Name, Value string }

// Changed returns the flags that the user gave, if they are among the allowed ones, and the names
// of the others. It leaves out those to ignore. The values of paths become absolute.
func Changed(fs *pflag.FlagSet, allowed, ignore, paths []string) (set []Override, refused []string, err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, nil, fmt.Errorf("find the working directory: %w", err)
	}
	fs.Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), ",")
		}
		switch {
		case slices.Contains(ignore, f.Name):
		case !slices.Contains(allowed, f.Name):
			refused = append(refused, "--"+f.Name)
		case slices.Contains(paths, f.Name) && !filepath.IsAbs(value):
			set = append(set, Override{f.Name, filepath.Join(here, value)})
		default:
			set = append(set, Override{f.Name, value})
		}
	})
	return set, refused, nil
}

// Apply gives flags the values that replace their own.
func Apply(fs *pflag.FlagSet, list []Override) error {
	for _, o := range list {
		if err := fs.Set(o.Name, o.Value); err != nil {
			return usage.Errorf("--%s %s: %w", o.Name, o.Value, err)
		}
	}
	return nil
}
