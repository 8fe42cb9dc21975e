function main(env, con)
   con:header("Location", "https://elsewhere.example/new")
end
