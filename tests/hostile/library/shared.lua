return { value = "as it was written" }
