package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"covey.dev/covey/cmd/covey/service"
)

const defaultConfigFile = service.ConfigFile

// settle fills in the flags that the command line left alone: from the environment first, then from the file.
func settle(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	given := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "COVEY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := lookup(name)
		if !ok || given[f.Name] || f.Name == "help" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", name, err))
		}
		given[f.Name] = true
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return settleFromFile(flags, flags.Lookup("config").Value.String(), given)
}

func settleFromFile(flags *pflag.FlagSet, file string, given map[string]bool) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) && !given["config"] {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var settings map[string]any
	if err := yaml.Unmarshal(data, &settings); err != nil {
		return fmt.Errorf("read the configuration in %s: %w", file, err)
	}
	for key, value := range settings {
		if flags.Lookup(key) == nil || key == "config" || key == "help" {
			return fmt.Errorf("configuration %s: unknown setting %q; there are: %s", file, key, strings.Join(names(flags), ", "))
		}
		if given[key] {
			continue
		}
		text, err := settingText(value)
		if err == nil {
			err = flags.Set(key, text)
		}
		if err != nil {
			return fmt.Errorf("configuration %s: %s: %w", file, key, err)
		}
	}
	return nil
}

// settingText writes a YAML value as it would stand on the command line.
func settingText(value any) (string, error) {
	switch v := value.(type) {
	case map[string]any:
		pairs := make([]string, 0, len(v))
		for key, val := range v {
			pairs = append(pairs, key+"="+scalarText(val))
		}
		sort.Strings(pairs)
		return strings.Join(pairs, ","), nil
	case nil, []any:
		return "", errors.New("must be a single value or a map")
	default:
		return scalarText(v), nil
	}
}

// scalarText is a single value of YAML, whose numbers come as floating point: 1000000 is not to be 1e+06. One that is not there is empty.
func scalarText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

func names(flags *pflag.FlagSet) []string {
	var list []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "config" && f.Name != "help" {
			list = append(list, f.Name)
		}
	})
	return list
}

// fileFlags name files and directories.
var fileFlags = []string{"data-dir", "state-dir", "registry-config", "audit-log", "audit-policy"}

// fromHere has the flags that were given name files as they are called from here: the service runs elsewhere.
func fromHere(flags *pflag.FlagSet) error {
	for _, name := range fileFlags {
		f := flags.Lookup(name)
		path := f.Value.String()
		if !f.Changed || path == "" || path == "-" {
			continue
		}
		abs, err := filepath.Abs(path)
		if err == nil {
			err = f.Value.Set(abs)
		}
		if err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
	}
	return nil
}

// configured is a configuration file's content with the flags that were given on the command line set in it.
func configured(old []byte, flags *pflag.FlagSet) ([]byte, error) {
	settings := map[string]any{}
	if err := yaml.Unmarshal(old, &settings); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	flags.Visit(func(f *pflag.Flag) {
		if f.Name != "config" && f.Name != "help" {
			settings[f.Name] = flagText(f.Value)
		}
	})
	return yaml.Marshal(settings)
}

// flagText is the value of a flag as it would stand on the command line.
func flagText(v pflag.Value) string {
	switch v := v.(type) {
	case pflag.SliceValue:
		return strings.Join(v.GetSlice(), ",")
	default:
		text := v.String()
		if v.Type() == "stringToString" {
			return strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
		}
		return text
	}
}
