package server

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"

	"tokentest/harness/farm"
	"tokentest/harness/usage"
)

// Team is one of several teams that share a server. Each has a queue and a store of its own, and sees nothing of the
// others.
type Team struct {
	Name  string
	Bytes int64 // what it may keep
	Parts int   // at workers at a time, of each class; 0 is no limit
}

var teamForm = regexp.MustCompile(`^([a-z][a-z0-9_]{0,31}):([1-9][0-9]{0,5})(?::([1-9][0-9]{0,4}))?$`)

// ParseTeam reads NAME:GIB or NAME:GIB:PARTS.
func ParseTeam(text string) (Team, error) {
	m := teamForm.FindStringSubmatch(text)
	if m == nil {
		return Team{}, usage.Errorf("--team %s: must be NAME:GIB or NAME:GIB:PARTS, the name in small letters and digits",
			text)
	}
	gib, _ := strconv.Atoi(m[2])   // the form has digits
	parts, _ := strconv.Atoi(m[3]) // or nothing
	return Team{Name: m[1], Bytes: int64(gib) << 30, Parts: parts}, nil
}

// teams gives each team an account with its limits, and returns its URLs. The accounts are read as the server reads its
// configuration, because only that sets the limits before a cluster starts.
func teams(to *server.Options, list []Team, base farm.URL, store string) ([]*farm.URL, error) {
	var urls []*farm.URL
	var config strings.Builder
	config.WriteString("accounts {\n")
	for _, t := range list {
		secret, err := keptToken(filepath.Join(store, "team-"+t.Name))
		if err != nil {
			return nil, err
		}
		u := base
		u.Team, u.Token = t.Name, secret
		urls = append(urls, &u)
		parts := ""
		if t.Parts > 0 {
			parts = fmt.Sprintf(", max_ack_pending: %d", t.Parts)
		}
		fmt.Fprintf(&config, "  %s { jetstream { max_store: %d%s }, users [{ user: %[1]s, password: \"%[4]s\" }] }\n", t.Name,
			t.Bytes, parts, secret)
	}
	config.WriteString("}\n")
	read := &server.Options{}
	if err := read.ProcessConfigString(config.String()); err != nil {
		return nil, fmt.Errorf("give each team its account: %w", err)
	}
	to.Accounts, to.Users, to.Authorization = read.Accounts, read.Users, ""
	return urls, nil
}
