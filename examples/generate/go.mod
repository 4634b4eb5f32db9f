module example.com/greet

go 1.26

tool example.com/greet/internal/gen

require go.yaml.in/yaml/v3 v3.0.5
