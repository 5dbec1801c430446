// Makes a container in Azurite: node azurite.js ADDRESS ACCOUNT KEY NAME

const crypto = require("crypto");
const http = require("http");

const [address, account, key, name] = process.argv.slice(2);
const [host, port] = address.split(":");
const headers = { "x-ms-date": new Date().toUTCString(), "x-ms-version": "2020-12-06" };
const signed = Object.entries(headers).map(([header, value]) => `${header}:${value}\n`).join("");
const text = `PUT${"\n".repeat(12)}${signed}/${account}/${account}/${name}\nrestype:container`;
const signature = crypto.createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
headers.authorization = `SharedKey ${account}:${signature}`;
headers["content-length"] = 0;
const path = `/${account}/${name}?restype=container`;
http.request({ host, port, path, method: "PUT", headers }, answer => {
  console.log(`the container ${name}: ${answer.statusCode}`);
  process.exit(answer.statusCode === 201 ? 0 : 1);
}).end();
