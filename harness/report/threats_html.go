package report

import (
	"fmt"
	"html/template"
	"io"
	"time"

	"tokentest/cases/step"
	"tokentest/harness/result"
)

// ThreatsHTML writes the contents of Threats as one self-contained page.
func ThreatsHTML(r *result.Run, w io.Writer, _ Options) error {
	all := threats(r)
	holds := 0
	for _, t := range all {
		if t.Holds() {
			holds++
		}
	}
	err := threatsPage.Execute(w, map[string]any{
		"Threats": all, "Holds": holds, "When": r.Start.Format(time.RFC3339), "Tool": r.Tool, "Kernels": titles(r),
		"Settings": kernelSettings(r), "Warnings": warnings(r),
	})
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// kernelState is a kernel with its settings.
type kernelState struct {
	Kernel string
	States []step.SettingState
}

func kernelSettings(r *result.Run) []kernelState {
	var out []kernelState
	for _, k := range kernels(r) {
		if list := k.Facts.States(); len(list) > 0 {
			out = append(out, kernelState{k.title(), list})
		}
	}
	return out
}

func titles(r *result.Run) []string {
	var out []string
	for _, k := range kernels(r) {
		out = append(out, k.title())
	}
	return out
}

var threatsPage = template.Must(template.New("threats").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>BPF token: who can do what</title>
<style>
:root { color-scheme: light dark; --line: #8884; --ok: #18794e; --no: #cd2b31; --dim: #666; }
@media (prefers-color-scheme: dark) { :root { --ok: #4cc38a; --no: #ff8589; --dim: #aaa; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
ol.toc { padding-left: 1.5rem; } .dim { color: var(--dim); font-size: .875rem; }
ul { margin: .5rem 0; padding-left: 1.25rem; font-size: .875rem; }
.answer { border-left: 4px solid var(--ok); padding: .25rem 1rem; margin: .75rem 0; }
.answer.no { border-color: var(--no); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; margin: .75rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td.got { min-width: 7rem; } .ok { color: var(--ok); } .skip { color: var(--dim); }
.refused, .fail, .broken { color: var(--no); }
code { font: .8125rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>BPF token: who can do what</h1>
{{range .Warnings}}<p class="answer no">Warning: {{.}}</p>
{{end}}<p class="dim">{{len .Threats}} questions, {{.Holds}} answered as stated.
Observed {{.When}} on {{range $i, $k := .Kernels}}{{if $i}}, {{end}}{{$k}}{{end}}.
The calls below each answer gave these results on the named kernels, as the rules of the kernel's source predict.</p>
{{if not .Threats}}<p>No case of this run has a question.</p>{{end}}
<ol class="toc">{{range .Threats}}<li><a href="#{{.Case}}">{{.Question}}</a></li>{{end}}</ol>
{{range .Threats}}
<section id="{{.Case}}">
<h2>{{.Question}}</h2>
{{if .Contradicted}}
<p class="answer no">It depends on the kernel: one below answers differently from the others, or from the rules.</p>
{{end}}
{{if .Shown}}<p class="answer">{{.Answer}}</p>
{{else}}<p class="answer no">No answer: no kernel of this run has shown it.</p>{{end}}
<p class="dim">Case <code>{{.Case}}</code>, {{.Path}}</p>
{{with .Who}}<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
<table>
<tr><th>kernel</th><th>status</th><th>why</th></tr>
{{range .Shown}}<tr><td>{{.Kernel}}</td><td class="ok">{{.Status}}</td><td>{{.Why}}</td></tr>{{end}}
{{range .Others}}<tr><td>{{.Kernel}}</td><td class="{{.Status}}">{{.Status}}</td><td>{{.Why}}</td></tr>{{end}}
</table>
{{with .Evidence}}<table>
<tr><th>call</th><th>got</th><th>why</th></tr>
{{range .}}<tr><td><code>{{.Text}}</code></td>
<td class="got {{if .Allowed}}ok{{else}}refused{{end}}">{{.Got}}</td><td>{{.Note}}</td></tr>
{{end}}</table>{{end}}
</section>
{{end}}
{{range .Settings}}<h2>Settings of {{.Kernel}}</h2>
<table><tr><th>setting</th><th>value</th><th>decides</th></tr>
{{range .States}}<tr><td><code>{{.Name}}</code></td><td>{{.Value}}{{with .Changed}} ({{.}}){{end}}</td>
<td>{{.Decides}} ({{.Func}})</td></tr>
{{end}}</table>
{{end}}</body>
</html>
`))
