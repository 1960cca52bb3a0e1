package cases

import (
	"fmt"
	"strings"

	"tokentest/cases/step"
)

// Machine is the page on what the guest reads and changes in a kernel before
// the first case, from the tables that the guest goes by. arguments is what the
// host adds to the kernel's command line.
func Machine(arguments []string) string {
	h := &help{}
	h.text(
		"Before the first case the guest reads the settings of the running kernel and changes those that the cases " +
			"need. Both are in the record, as facts.settings and facts.changes, and in " +
			"\"tokentest explain CASE --facts RUN\". " +
			"The oracle decides by the settings. A case that cannot run with a setting is skipped, and the skip names the " +
			"setting. --append ARG sets one: --append lockdown=integrity, --append sysctl.net.core.bpf_jit_harden=2.",
	)
	h.title("SETTINGS")
	for i := range step.Settings {
		s := &step.Settings[i]
		doc := s.Decides + " (" + s.Func + ")"
		if s.Words != nil {
			doc = strings.Join(s.Words, ", ") + ": " + doc
		}
		if c := s.Change; c != nil {
			least := map[bool]string{true: "at least "}[c.AtLeast]
			doc += fmt.Sprintf(". The guest sets it to %s%s: %s", least, s.Spell(c.Value), c.Why)
		}
		h.entry(s.Name, doc)
	}
	h.title("MOUNTS")
	for _, m := range step.Mounts {
		h.entry(m.Dir, m.FS+": "+m.Why)
	}
	h.title("OTHER CHANGES")
	h.entry(step.Memlock.Name, step.Unlimited+": "+step.Memlock.Why)
	h.entry(step.Statistics.Name, "on: "+step.Statistics.Why)
	h.entry(strings.Join(step.Places[1:], " "), "directories that actors mount on")
	h.entry("modules", "the kernel's own, where its virtio console is one")
	h.entry("/dev/kmsg", "a line before each set-up and each group of cells, for readers of the kernel's log")
	h.title("KERNEL ARGUMENTS OF THE HOST")
	h.text(strings.Join(arguments, " "))
	h.text("lsm= as CONFIG_LSM has it, and bpf, where CONFIG_LSM lacks it. Then come the arguments of --append.")
	h.text("QEMU enters the ELF file inside a bzImage directly where the kernel boots so; KASLR is off then. " +
		"\"tokentest help running\" has more.")
	return h.String()
}
