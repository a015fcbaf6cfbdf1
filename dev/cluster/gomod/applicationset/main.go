// What Argo CD's ApplicationSet controller makes of cluster Secrets, one Application each: its clusters generator, and a
// template with goTemplate. An ApplicationSet and Secrets as JSON in, the Applications or the error as JSON out.
//
// The engine and its functions are those of Argo CD (text/template and sprig), and so are the types: annotations are a
// map of strings, on which sprig's dig and get fail. What it leaves out: selectors, templatePatch, generators in
// generators.
package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

type applicationSet struct {
	Spec struct {
		GoTemplateOptions []string `json:"goTemplateOptions"`
		Template          any      `json:"template"`
	} `json:"spec"`
}

type secret struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
		Labels      map[string]string `json:"labels"`
	} `json:"metadata"`
	Data map[string]string `json:"stringData"`
}

type question struct {
	ApplicationSet applicationSet `json:"applicationSet"`
	Secrets        []secret       `json:"secrets"`
}

type answer struct {
	Applications []any  `json:"applications"`
	Error        string `json:"error,omitempty"`
}

var noNameCharacters = regexp.MustCompile("[^-a-z0-9.]")

func normalized(name string) string {
	name = noNameCharacters.ReplaceAllString(strings.ToLower(name), "-")
	return strings.Trim(name[:min(len(name), 253)], "-.")
}

func functions() template.FuncMap {
	found := sprig.GenericFuncMap()
	for _, name := range []string{"env", "expandenv", "getHostByName"} {
		delete(found, name)
	}
	found["normalize"] = normalized
	return found
}

func parameters(cluster secret) map[string]any {
	metadata := map[string]any{}
	if len(cluster.Metadata.Annotations) > 0 {
		metadata["annotations"] = cluster.Metadata.Annotations
	}
	if len(cluster.Metadata.Labels) > 0 {
		metadata["labels"] = cluster.Metadata.Labels
	}
	return map[string]any{
		"name":           cluster.Data["name"],
		"nameNormalized": normalized(cluster.Data["name"]),
		"server":         cluster.Data["server"],
		"project":        cluster.Data["project"],
		"metadata":       metadata,
	}
}

// filled is the value with each text in it, and each key, taken as a template.
func filled(value any, options []string, with map[string]any) (any, error) {
	switch value := value.(type) {
	case string:
		parsed, err := template.New("").Funcs(functions()).Option(options...).Parse(value)
		if err != nil {
			return nil, err
		}
		var text strings.Builder
		err = parsed.Execute(&text, with)
		return text.String(), err
	case []any:
		made := make([]any, len(value))
		for place, member := range value {
			var err error
			if made[place], err = filled(member, options, with); err != nil {
				return nil, err
			}
		}
		return made, nil
	case map[string]any:
		made := map[string]any{}
		for key, member := range value {
			name, err := filled(key, options, with)
			if err != nil {
				return nil, err
			}
			if made[name.(string)], err = filled(member, options, with); err != nil {
				return nil, err
			}
		}
		return made, nil
	}
	return value, nil
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		os.Exit(2)
	}
	said := answer{Applications: []any{}}
	for _, cluster := range asked.Secrets {
		spec := asked.ApplicationSet.Spec
		made, err := filled(spec.Template, spec.GoTemplateOptions, parameters(cluster))
		if err != nil { // of one cluster: the controller then makes and changes none
			said = answer{Applications: []any{}, Error: err.Error()}
			break
		}
		said.Applications = append(said.Applications, made)
	}
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		os.Exit(2)
	}
}
