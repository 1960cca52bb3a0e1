package splat

import "encoding/json"

// allowEntry is an entry as JSON.
type allowEntry struct {
	Where   string `json:"where"`
	Pattern string `json:"pattern"`
	Reason  string `json:"reason"`
}

// MarshalJSON returns the entries, for a host that gets the list without its files.
func (a *Allow) MarshalJSON() ([]byte, error) {
	list := []allowEntry{}
	if a != nil {
		for _, e := range a.entries {
			list = append(list, allowEntry{e.where, e.pattern, e.reason})
		}
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON returns.
func (a *Allow) UnmarshalJSON(text []byte) error {
	var list []allowEntry
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	a.entries = nil
	for _, e := range list {
		a.entries = append(a.entries, entry{e.Where, e.Pattern, e.Reason})
	}
	return nil
}
