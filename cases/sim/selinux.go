package sim

import (
	"tokentest/cases/oracle"
	"tokentest/cases/step"
)

// domains are the domains as the rules see them. That of every process is nil.
var domains = func() []*oracle.Domain {
	out := make([]*oracle.Domain, len(step.DomainRows))
	for i, d := range step.DomainRows[1:] {
		out[i+1] = &oracle.Domain{Self: d.Self, Over: d.Over, By: d.By}
	}
	return out
}()

// setSELinux plays the broker's load of the policy.
func (s *Sim) setSELinux(_ *actor, st *step.Step) Expect {
	mode, _ := st.Num(step.KeyEnforce)
	perms, _ := st.Num(step.KeyTokenPerms)
	k := *s.kernel
	k.Settings.SELinux = oracle.SELinux{Enforces: step.Mode(mode) == step.ModeEnforcing, TokenPerms: perms != 0}
	s.kernel = &k
	return harnessStep(st.Op)
}
