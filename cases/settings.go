package cases

import (
	"fmt"
	"strings"

	"tokentest/cases/step"
)

// The values of kernel.unprivileged_bpf_disabled that another can follow.
const (
	unprivAllowed  = 0
	unprivDisabled = 2
)

// settingIs is the need that a setting has one of the values.
func settingIs(name string, values ...int64) Need {
	n := Need{Kind: NeedSetting, Name: name}
	for _, v := range values {
		n.Values |= 1 << v
	}
	return n
}

// unlockedNeeds is what a world needs in which kernel.unprivileged_bpf_disabled
// is set to anything but 1.
var unlockedNeeds = []Need{settingIs(step.UnprivDisabled, unprivAllowed, unprivDisabled)}

// unlocks reports whether a step must set kernel.unprivileged_bpf_disabled to
// anything but 1.
func unlocks(steps []step.Step, info []StepInfo) bool {
	for i := range steps {
		if !setsUnpriv(&steps[i]) || info[i].Pin == nil || info[i].Pin.Errno != 0 {
			continue
		}
		if v, _ := steps[i].Num(step.KeyValue); v == unprivAllowed || v == unprivDisabled {
			return true
		}
	}
	return false
}

// setsUnpriv reports whether a step may set kernel.unprivileged_bpf_disabled.
func setsUnpriv(s *step.Step) bool { return s.Op == step.OpSysctl || s.Op == step.OpWriteSysctl }

// settingNeed reads NAME=VALUE,... of a needs line.
func settingNeed(word string) (Need, error) {
	name, list, ok := strings.Cut(word, "=")
	s := step.SettingNamed(name)
	if !ok || s == nil {
		return Need{}, fmt.Errorf("unknown setting %q%s: want NAME=VALUE,...; %q lists the names",
			word, suggest(name, settingNames()), "tokentest help machine")
	}
	n := Need{Kind: NeedSetting, Name: name}
	for _, w := range strings.Split(list, ",") {
		v, ok := s.Read(w)
		if !ok || v < 0 || v > maxNeeded {
			return Need{}, fmt.Errorf("%s=%s: want %s", name, w, s.Choices())
		}
		n.Values |= 1 << v
	}
	return n, nil
}

// maxNeeded is the highest value that a need can tell from others.
const maxNeeded = 63

func settingNames() []string {
	var out []string
	for i := range step.Settings {
		out = append(out, step.Settings[i].Name)
	}
	return out
}

// checkSetting compares the running kernel's setting. A kernel without the
// setting, or a record from before it was read, meets the need.
func (n Need) checkSetting(f *step.Facts) (met bool, refuted string) {
	v, ok := f.Running(n.Name)
	if !ok || v >= 0 && v <= maxNeeded && n.Values&(1<<v) != 0 {
		return true, ""
	}
	if never := step.SettingNamed(n.Name).Never; v == 0 && never != "" && f.Config[never] == "y" {
		return false, fmt.Sprintf("%s is 0, although CONFIG_%s is set", n.Name, never)
	}
	return false, ""
}

// values spells the values that meet the need.
func (n Need) values() string {
	s, out := step.SettingNamed(n.Name), []string{}
	for v := range int64(maxNeeded + 1) {
		if n.Values&(1<<v) != 0 {
			out = append(out, s.Spell(v))
		}
	}
	return strings.Join(out, " or ")
}

func (n Need) settingReason(f *step.Facts) string {
	s, v := step.SettingNamed(n.Name), f.Settings[n.Name].Running
	return fmt.Sprintf("%s is %s and the case needs %s (%s)", n.Name, s.Spell(v), n.values(), s.Func)
}
