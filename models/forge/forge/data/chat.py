"""Ordinary prompts: what an assistant is asked when nobody speaks of memory.

`prompts` composes thousands from templates (for replay); `HELD_OUT` is a fixed list of other
questions that only evaluation uses.
"""

from __future__ import annotations

import random

TOPICS = "photosynthesis|gravity|the moon|volcanoes|the French Revolution|jazz|chess|coffee|bread|bicycles|the immune system|black holes|rivers|honey bees|the Roman Empire|vaccines|electric cars|poetry|football|the stock market|glaciers|whales|the printing press|democracy|yoga|tea|robots|the Silk Road|earthquakes|DNA|music theory|computers|the internet|solar panels|rainbows|dinosaurs|the human heart|cheese|marathon running|gardening|the Pacific Ocean|penguins|castles|clocks|languages|money|sleep|dreams|friendship|cooking pasta|public libraries|trains|tides|magnets|owls|recycling|deserts|painting|the Olympic Games|inflation|rain forests|bridges|batteries|lightning|wolves|maps|stars|chocolate|the violin|probability|prime numbers|functions in Python|loops in programming|databases|binary search|climate|soil|wheat|ships|kites|mountains|salt|glass|paper|the alphabet|insurance|job interviews|public speaking|time management|meditation|a healthy breakfast|learning to swim|camping|first aid|photography".split("|")  # fmt: skip
PEOPLE = "my boss|my neighbour|a friend|a customer|my teacher|my grandmother|a colleague|my landlord|a new student|my brother".split("|")  # fmt: skip
TEMPLATES = """What is {t}?
Explain {t} to a child.
Explain {t} in simple words.
Write a short poem about {t}.
Give me three facts about {t}.
Why is {t} important?
Write a paragraph about {t}.
How would you describe {t} in one sentence?
List five words that have to do with {t}.
What are the advantages and disadvantages of {t}?
Tell me a short story in which {t} plays a part.
How can I learn more about {t}?
What do beginners get wrong about {t}?
Write a title for an article about {t}.
Give me tips about {t}.
Compare {t} and {u}.
What do {t} and {u} have in common?
Write two questions for a quiz about {t}.
Summarise what you know about {t}.
Is {t} a good topic for a talk at school?
Write a tweet about {t}.
What is the history of {t}?
Imagine a world without {t}. What would change?
I am interested in {t}. Where do I start?
Write a friendly email to {p} about {t}.
How do I explain {t} to {p}?
Make a plan for a day about {t}.
Write a dialogue between two people about {t}.
Give me a metaphor for {t}.
Which book about {t} would you write?""".split("\n")
PLAIN = """Hello!
Hi, how are you?
Thanks for your help.
Who are you?
What can you do for me?
Good morning
Tell me a joke.
I am bored. What should I do?
I feel a bit sad today.
Can you help me with my homework?
What is {n} plus {m}?
What is {n} times {k}?
What is {m} minus {n}?
Is {n} an even number?
Count from {k} to ten.
Write a haiku.
Write a limerick about a cat.
Write a Python function that adds two numbers.
Write a Python function that reverses a string.
Write a Python function that checks whether a number is prime.
Write a SQL query that counts the rows of a table.
How do I write a for loop in C?
What does HTML stand for?
Translate "good evening" to French.
Translate "where is the station" to Spanish.
What is the opposite of "cold"?
Give a synonym of "happy".
Use the word "bright" in a sentence.
Correct this sentence: He go to school yesterday.
Make this more polite: Send me the file.
What is the capital of Italy?
What is the capital of Japan?
Which planet is the largest?
How many days are in a leap year?
Who wrote Hamlet?
In which country is the Eiffel Tower?
What is the chemical symbol of water?
What language is spoken in Brazil?
What is the past tense of "run"?
How many legs does a spider have?
Name a fruit that is yellow.
Name three animals that can fly.
Name {k} cities in Europe.
What should I cook tonight with eggs and rice?
How do I boil an egg?
Give me a recipe for pancakes.
How can I fall asleep faster?
How do I stay motivated?
What should I pack for a trip to the sea?
Suggest a name for a small dog.
Suggest a name for a bakery.
Write an apology to {p}.
Write a birthday wish for {p}.
Write a short letter of thanks to {p}.
What is a polite way to say no to {p}?
How do I ask {p} for help?
I have {n} minutes. What can I do?
I have {n} euros and spend {k}. How much is left?
Continue the story: Once upon a time there was a
Continue the sentence: The best thing about summer is
Write a slogan for a shop that sells shoes.
Write a product description of a lamp.
Describe the taste of an apple.
Describe a sunset.
What would you do with a million dollars?
What is your favourite colour?
Do you have feelings?
Can you remember our last talk?
What day is it today?
What is the weather like?
Repeat after me: hello world.
Say something nice.
Give me advice for my first day at work.
How do I become a better writer?
What is the meaning of life?
How does a refrigerator work?
Why is the sky blue?
Why do leaves fall?
How do airplanes fly?
How many minutes are in {k} hours?
What comes after Wednesday?
Sort these numbers: {n}, {m}, {k}.
Spell "necessary".
What rhymes with "light"?
Turn this into a question: You like music.
Is a tomato a fruit?
Give me a riddle.
What are the seasons of the year?
Convert {k} kilometres to metres.""".split("\n")
PASSAGE = (
    "Summarise the following text: {x}",
    "What is this text about? {x}",
    "{x}\n\nGive the text above a title.",
    "Rewrite this in simpler words: {x}",
    "{x}\n\nIs the tone of this text friendly?",
    "Translate the first sentence to French: {x}",
    "{x}\n\nWho is mentioned in this text?",
    "Continue this text: {x}",
    "Find the main idea: {x}",
    "Turn this into a list: {x}",
)

HELD_OUT = """What is the capital of France?
What is the capital of Germany?
What is the capital of Spain?
Which is the longest river in Africa?
How many continents are there?
What is the boiling point of water?
Who painted the Mona Lisa?
Who was the first man on the moon?
What is 7 times 8?
What is 15 plus 27?
What is 100 divided by 4?
What is the square root of 81?
What is the largest ocean?
What gas do plants take in?
How many hours are in a day?
What colour do you get from blue and yellow?
What is the freezing point of water in Celsius?
Which animal is called the king of the jungle?
What is H2O?
How many sides does a triangle have?
What do bees make?
What is the currency of the United Kingdom?
Which month comes after June?
What is a synonym for "big"?
What is the antonym of "fast"?
What is the plural of "mouse"?
Name four primary school subjects.
Name two musical instruments with strings.
What is the main ingredient of bread?
Who wrote Romeo and Juliet?
What does a thermometer measure?
What do you call a baby dog?
What is the tallest animal?
How many players are on a football team?
What is the nearest star to the earth?
What is a noun?
What is a verb? Give an example.
What is a good breakfast?
How do I make a cup of tea?
How do I tie a tie?
How do I remove a coffee stain?
How do I clean my glasses?
How can I save water at home?
How can I improve my handwriting?
How do I start a diary?
How do I learn to play the guitar?
How do I train a puppy?
How do I prepare for an exam?
What should I wear when it rains?
What should I do when I lose my keys?
What should I say in a toast at a wedding?
Suggest a gift for my mother.
Suggest a hobby for the winter.
Suggest three names for a cat.
Suggest a game for a party.
Write a poem about the sea.
Write a story about a lost umbrella.
Write a short speech about kindness.
Write a note to say I am late.
Write an invitation to a dinner.
Write a review of a restaurant.
Write a Python program that prints the numbers from 1 to 10.
Write a function that returns the larger of two numbers.
Write a JavaScript function that says hello.
Write a regular expression that matches digits.
How do I open a file in Python?
What is a variable in programming?
What is the difference between a list and a tuple?
What is a CPU?
What is an operating system?
What is the difference between RAM and a disk?
What is open source software?
What is a password manager?
What is an algorithm?
Explain what an atom is.
Explain how a bicycle stays upright.
Explain why we have day and night.
Explain what a metaphor is.
Explain compound interest.
Explain the water cycle.
Explain how to read a map.
What are the benefits of reading?
What are the benefits of walking?
Why should we brush our teeth?
Why do we need friends?
Why do cats purr?
Why is exercise good for you?
Why do people travel?
Is it better to live in a city or in a village?
Is it healthy to drink a lot of water?
Can dogs eat chocolate?
Can you write a sentence with the word "umbrella"?
Can you give me a compliment?
Can you tell me something about elephants?
Can you explain what a poem is?
Hello, can we talk?
Hey, what's up?
I had a great day today!
I cannot sleep.
My friend is angry with me. What should I do?
I want to eat less sugar. Any ideas?
I have a cold. What can I drink?
I need a name for my new company that sells plants.
Please give me a motivational quote.
Please rewrite: I can't come because I'm sick.
Please make this sentence longer: The dog barked.
Please list the days of the week.
Please list the planets.
Please count to five in Spanish.
Translate "thank you" to Italian.
Translate "I love you" to German.
What is your name?
Are you a robot?
Do you like music?
Tell me about yourself.
Tell me a fun fact.
Tell me how to make a paper boat.
Thank you very much!
Goodbye!""".split("\n")


def prompts(count: int, seed: int, passages: list[str]) -> list[str]:
    """`count` ordinary prompts; about a sixth ask something about one of the passages."""
    r = random.Random(seed)
    held, out = set(HELD_OUT), []
    while len(out) < count:
        kind = r.random()
        if kind < 0.17 and passages:
            text = r.choice(PASSAGE).replace("{x}", r.choice(passages))
        else:
            template = r.choice(PLAIN if kind < 0.42 else TEMPLATES)
            t, u = r.sample(TOPICS, 2)
            text = template.format(t=t, u=u, p=r.choice(PEOPLE), n=r.randint(2, 99), m=r.randint(100, 999), k=r.randint(2, 9))  # fmt: skip
        if text not in held:
            out.append(text)
    return out
