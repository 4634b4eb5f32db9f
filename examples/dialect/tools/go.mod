module example.com/api/tools

go 1.26
