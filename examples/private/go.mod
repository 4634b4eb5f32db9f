module example.com/private

go 1.26

require git.acme.example/team/lib.git v1.2.3
