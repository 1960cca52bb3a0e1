package step

import "tokentest/cases/uapi"

// Domain is an SELinux domain of the policy that the guest loads. The zero value is that of every process.
type Domain uint8

// The domains beside that of every process. Each lacks what its name says, and no more.
const (
	DomainOther Domain = iota + 1
	DomainNoMapCreate
	DomainNoProgLoad
	DomainNoMapRead
	DomainNoMapWrite
	DomainNoProgRun
	DomainNoMapCreateAs
	DomainNoProgLoadAs
	DomainNoMapGrant
	DomainNoProgGrant
	DomainNoNetAdmin
	DomainNoSysAdmin
	DomainNoPerfmon
	DomainNoBPF
)

// DomainRow is what the policy denies in a domain's relations; all else it allows.
type DomainRow struct {
	Name string
	Self uapi.Perms // to the domain, over what has its own label
	Over uapi.Perms // to the domain, over what has another label
	By   uapi.Perms // to other domains, over what has its label
}

// DomainRows are the domains' rows. The first one is that of every process.
var DomainRows = []DomainRow{
	{Name: "everything"},
	DomainOther:         {Name: "other"},
	DomainNoMapCreate:   {Name: "no_map_create", Self: uapi.PermMapCreate},
	DomainNoProgLoad:    {Name: "no_prog_load", Self: uapi.PermProgLoad},
	DomainNoMapRead:     {Name: "no_map_read", Over: uapi.PermMapRead},
	DomainNoMapWrite:    {Name: "no_map_write", Self: uapi.PermMapWrite, Over: uapi.PermMapWrite},
	DomainNoProgRun:     {Name: "no_prog_run", Self: uapi.PermProgRun, Over: uapi.PermProgRun},
	DomainNoMapCreateAs: {Name: "no_map_create_as", Over: uapi.PermMapCreateAs},
	DomainNoProgLoadAs:  {Name: "no_prog_load_as", Over: uapi.PermProgLoadAs},
	DomainNoMapGrant:    {Name: "no_map_grant", By: uapi.PermMapCreate},
	DomainNoProgGrant:   {Name: "no_prog_grant", By: uapi.PermProgLoad},
	DomainNoNetAdmin:    {Name: "no_net_admin", Over: uapi.PermNetAdmin},
	DomainNoSysAdmin:    {Name: "no_sys_admin", Over: uapi.PermSysAdmin},
	DomainNoPerfmon:     {Name: "no_perfmon", Over: uapi.PermPerfmon},
	DomainNoBPF:         {Name: "no_bpf", Over: uapi.PermBPF},
}

// Domains are the domains as a case file spells them; index 0 is unused.
var Domains = func() []string {
	out := make([]string, len(DomainRows))
	for i := range out[1:] {
		out[i+1] = DomainRows[i+1].Name
	}
	return out
}()

// Mode is what SELinux does with what its policy denies.
type Mode uint8

// The modes.
const (
	ModePermissive Mode = iota + 1
	ModeEnforcing
)

// Modes are the modes as a case file spells them.
var Modes = []string{ModePermissive: "permissive", ModeEnforcing: "enforcing"}
