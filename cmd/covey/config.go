package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

const defaultConfigFile = "/etc/covey/config.yaml"

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
	case string:
		return v, nil
	case map[string]any:
		pairs := make([]string, 0, len(v))
		for key, val := range v {
			pairs = append(pairs, fmt.Sprintf("%s=%v", key, val))
		}
		sort.Strings(pairs)
		return strings.Join(pairs, ","), nil
	case nil, []any:
		return "", errors.New("must be a single value or a map")
	default:
		return fmt.Sprint(v), nil
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
