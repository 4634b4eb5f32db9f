module example.com/mkhash

go 1.26
