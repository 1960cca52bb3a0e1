package guest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
)

const (
	selinuxLoad    = "/sys/fs/selinux/load"
	selinuxEnforce = "/sys/fs/selinux/enforce"
	selinuxCurrent = "/proc/thread-self/attr/current"
)

// setSELinux loads the policy of a step, unless the machine has it, and sets the mode until the world ends.
func (g *agent) setSELinux(_ *player, s *step.Step) (step.Observation, error) {
	if err := g.settle(nil); err != nil {
		return step.Observation{}, err
	}
	p := policy{tokenPerms: has(s, step.KeyTokenPerms)}
	if g.policy == nil || *g.policy != p {
		if err := os.WriteFile(selinuxLoad, p.blob(), 0); err != nil {
			return step.Observation{}, fmt.Errorf("load an SELinux policy: %w", err)
		}
		g.policy = &p
	}
	if err := g.remember(selinuxEnforce); err != nil {
		return step.Observation{}, err
	}
	mode := []byte("0")
	if m, _ := s.Num(step.KeyEnforce); step.Mode(m) == step.ModeEnforcing {
		mode = []byte("1")
	}
	if err := os.WriteFile(selinuxEnforce, mode, 0); err != nil {
		return step.Observation{}, fmt.Errorf("set SELinux's mode: %w", err)
	}
	return step.Observation{}, nil
}

// enterDomain puts the calling thread, alone, into a domain of the policy.
func enterDomain(d step.Domain) error {
	fd, err := unix.Open(selinuxCurrent, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(contextOf(d)))
	}
	if err != nil {
		return fmt.Errorf("enter the SELinux domain %s: %w", step.DomainRows[d].Name, err)
	}
	return nil
}

// contextOf is how SELinux spells a process's domain.
func contextOf(d step.Domain) string {
	return policyUser + ":" + policyRole + ":" + step.DomainRows[d].Name
}
