package report

import (
	"strings"

	"tokentest/cases/step"
)

// settingText is the value of a setting, with the value before the guest changed it.
func settingText(s step.SettingState) string {
	if was := s.Changed(); was != "" {
		return s.Value() + " (" + was + ")"
	}
	return s.Value()
}

// settings returns a kernel's settings in one line, "" if they were not read.
func (k *run) settings() string {
	var out []string
	for _, s := range k.Facts.States() {
		out = append(out, s.Name+" "+settingText(s))
	}
	return strings.Join(out, ", ")
}
